"""Service endpoints and message steps, and the posts that they make when rows change."""
