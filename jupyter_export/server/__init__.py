"""REST over the queue: handlers, problem details, OpenAPI."""
