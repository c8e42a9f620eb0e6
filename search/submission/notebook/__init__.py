"""The notebook that is handed in, and the network and its training as plain Python source."""
