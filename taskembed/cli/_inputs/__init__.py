"""Input of several commands: ids of documents, and records that an index does not contain."""
