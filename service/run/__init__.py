"""One run: its request, its folder, the engine that makes it, its result, and how to resume it."""
