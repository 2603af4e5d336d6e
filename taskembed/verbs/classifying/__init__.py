"""The parts of `classify`: labelled examples, and the heads that predict from them."""
