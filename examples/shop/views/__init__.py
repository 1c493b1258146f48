"""What can be seen: each file holds rows, the folds that fill them, and the queries that read them."""
