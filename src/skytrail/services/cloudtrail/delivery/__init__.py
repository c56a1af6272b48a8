"""From the journal to the bucket: which trail takes a record, the files that they gather in, and what tells of them."""
