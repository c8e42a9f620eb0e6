"""What the pages are made of: a figure, a table or a text each."""
