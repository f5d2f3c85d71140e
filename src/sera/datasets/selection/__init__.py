"""Which samples are taken. One family of filters a file.

of one sample    reasons, metrics, chain; patches, benchmarks, held_out, language
of the whole set duplicates, near, balance; see `sera.datasets.settle` for their order
"""
