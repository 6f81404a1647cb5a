"""The app spec: its model, its rules and its parser."""
