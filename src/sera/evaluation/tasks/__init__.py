"""Own-repository tasks: bugs put into a repository, and bugs of its history, each with the tests that tell.

`record` is the format, `trees` the starting tree of a task, `resolving` the judge of a patch, `build` the
builder.
"""
