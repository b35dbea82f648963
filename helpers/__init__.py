"""The course's helpers: plumbing, looking and drawing. Kafka's own client stays in the notebooks."""
