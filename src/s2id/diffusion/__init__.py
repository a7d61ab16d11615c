"""The forward process, noise as a field, denoisers, guidance and samplers: the mathematics, without a network."""
