"""The incident bridge: security alerts in, exactly one ServiceNow incident per problem out."""
