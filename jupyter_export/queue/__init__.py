"""The durable queue: store, scheduler, and the pipeline that turns a job into a file."""
