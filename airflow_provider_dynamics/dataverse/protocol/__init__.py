"""What the Web API is made of, whoever talks: requests and responses, OData's notation, pages, error codes, and what a server is able to do."""
