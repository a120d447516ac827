"""Everything above the library: Beam jobs, the Kubeflow graph, the command line."""
