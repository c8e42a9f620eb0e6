"""What is on this machine and on a cluster's nodes, how fast it trains, and what to mend."""
