"""An Apache Flink cluster on this machine, of hosts with a network and a `/tmp` of their own: to test and to try."""
