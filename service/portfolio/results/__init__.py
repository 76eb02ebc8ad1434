"""What a portfolio came to: its ranking, its back-test, its orders, and how they are shown."""
