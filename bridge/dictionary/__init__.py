"""What is known of ServiceNow's tables: their columns, lengths and choices, and the names of groups. Pure."""
