"""Which span of a program waits for which, told by runs in which some spans are delayed."""
