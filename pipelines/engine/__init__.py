"""An Apache Flink cluster on this machine, whose hosts share nothing but the network: for tests, and to try things."""
