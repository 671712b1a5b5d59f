"""What has changed since a place that was kept, whatever the table offers to tell it."""
