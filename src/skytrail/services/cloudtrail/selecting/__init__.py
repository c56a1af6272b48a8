"""What a trail takes: its event selectors, its Insights, and how its data events are aggregated."""
