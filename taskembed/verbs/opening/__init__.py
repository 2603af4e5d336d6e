"""The encoder of an index: chosen by the request or the index, checked, and wrapped."""
