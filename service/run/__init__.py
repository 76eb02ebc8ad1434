"""One run: its request, its folder, the engine that makes it, and what resumes it."""
