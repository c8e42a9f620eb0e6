"""What is handed in: the plain network, notebook, csv, report and zip, and the check of them."""
