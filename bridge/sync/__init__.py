"""The half that brings ServiceNow in line with the correlations: claims, decides, writes, records."""
