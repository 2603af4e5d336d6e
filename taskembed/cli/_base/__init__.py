"""What all commands share: their base class, the error boundary, copies of published indexes."""
