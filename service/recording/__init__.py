"""What `trading-graph record` is made of: the program, the spans it left, and what is said."""
