"""A ServiceNow on this machine: it polices the Table API's contract, plays a person, and fails when it is told to.

Tests run the bridge against it and people try mappings on it. Every protocol fact carries the strength of its
evidence: [OFFICIAL] ServiceNow's own documentation, [OBSERVED] recorded from a live instance by others, [CLIENT] relied
on by another client, [KIBANA] by Elastic's connector, [ALIKE] seen in somebody's mock, [UNVERIFIED] checked by nobody:
here it is one possible behaviour.
"""
