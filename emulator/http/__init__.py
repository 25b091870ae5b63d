"""What every API handler needs of HTTP: calls, routes, fields, masks, pages, discovery documents."""
