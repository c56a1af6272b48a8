"""What proves that nothing was changed: the keys that sign digests, and the log of all records as a Merkle tree."""
