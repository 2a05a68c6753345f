"""Lists: filters, orders and pages."""
