"""The words of the command `posefront`, by what they are for."""
