"""What routers are fed with: answers that are made and signed once for all who ask alike."""
