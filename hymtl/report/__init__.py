"""From scores and events to what a person looks at."""
