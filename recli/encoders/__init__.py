"""Text encoders: pretrained ones from HuggingFace folders, and ones fitted on the run's own texts."""
