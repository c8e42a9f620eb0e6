"""What is learnt from a data set, by which loss, and how it is judged."""
