"""Why an instance is not reached, or something else answers. In each group the most probable comes first."""

from __future__ import annotations

import re

from bridge.doctor.cause_rows import Row, Seen, always, row
from bridge.settings.instance import is_loopback

SERVICENOW_HOST = ".service-now.com"
LOGIN = re.compile(rb"<input[^>]{0,200}type=[\"']?password|saml|single sign|log ?in|sign ?in", re.IGNORECASE)
RESULT = re.compile(rb"^\s*\{\s*\"res")  # how an answer of the Table API begins, however short it was cut
NO_CERTIFICATE = re.compile(rb"no required ssl certificate|ssl certificate error", re.IGNORECASE)  # nginx
PAGES = "hibernating redirected html_answer"


def _company_site(seen: Seen) -> bool:
    return f".{seen.host}".endswith(".servicenow.com")


REACH: tuple[Row, ...] = (
    # --- the name
    row(
        f"dns_failed {PAGES} wrong_url unreadable_answer",
        _company_site,
        "{host} is not an instance: servicenow.com is the company's own site.",
        "Write the host as a browser shows it when you work in the instance: https://NAME.service-now.com.",
    ),
    row(
        "dns_failed",
        lambda seen: seen.host.endswith(SERVICENOW_HOST),
        "There is no instance of this name: it is mistyped, or was renamed or retired.",
        "Compare `url` with the address that a browser shows in the instance.",
    ),
    row(
        "dns_failed",
        always,
        "This machine's DNS does not know {host}.",
        "Try `getent hosts {host}` here. Where only a proxy knows outside names, set the instance's transport.proxy.",
    ),
    # --- the connection
    row(
        "connect_refused",
        lambda seen: is_loopback(seen.host),
        "Nothing listens at this port of this machine.",
        "Start what is meant to listen there; for the simulator, `bridge simulator --port PORT`.",
    ),
    row(
        "connect_refused",
        lambda seen: not is_loopback(seen.host),
        "Nothing listens at this host and port.",
        "Correct `url`: an instance listens on 443, and its url names no port.",
    ),
    row(
        "connect_failed connect_timed_out connect_refused",
        lambda seen: not is_loopback(seen.host),
        "A firewall between here and {host} does not let this machine through.",
        "Ask for outgoing TCP to {host}; where a proxy is the only way out, set the instance's transport.proxy.",
    ),
    row(
        "unauthenticated refused proxy_unauthenticated",
        lambda seen: seen.code == "proxy_unauthenticated" or bool(seen.header("Proxy-Authenticate")),
        "The proxy asks for credentials, or those in transport.proxy are not taken.",
        "Put the proxy's whole URL, http://USER:PASSWORD@HOST:PORT, into a secret: transport.proxy: {{file: PATH}}.",
    ),
    row(
        "proxy_failed",
        always,
        "The proxy is not there, or does not let this machine through to {host}.",
        "Correct transport.proxy, and ask its owner to allow {host}.",
    ),
    row(
        "tls_issuer_unknown",
        always,
        "Something between here and the instance shows a certificate of a private authority: {message}",
        "If your own network inspects TLS, or the authority is yours, name its certificate in the instance's "
        "transport.ca. If not, somebody is in between: do not go on.",
    ),
    row(
        "tls_other_name",
        always,
        "The certificate is for another name: {message}",
        "Correct `url`, or see where the name leads from this machine: `getent hosts {host}`.",
    ),
    row("tls_expired", always, "The certificate has expired, or this machine's clock is wrong.", "Look at `date`."),
    row(
        "tls_not_spoken",
        always,
        "What listens there does not speak TLS.",
        "Correct the port in `url`: an instance listens on 443, and its url names no port.",
    ),
    row(
        "tls_failed",
        always,
        "The two sides agree on no way to speak TLS, or a client certificate is asked for.",
        "Where the instance asks for one, set the instance's transport.client_cert and client_key.",
    ),
    row(
        "cut_after_handshake",
        always,
        "A client certificate is asked for, and none that is taken is shown.",
        "Set the instance's transport.client_cert and client_key; its authority must be trusted for clients there.",
    ),
    row(
        "cut_after_handshake",
        always,
        "A firewall in between cuts connections to {host} that it cannot look into.",
        "Ask whoever runs it to leave this machine's connections to {host} alone.",
    ),
    row(
        "refused",
        lambda seen: seen.shows(NO_CERTIFICATE),
        "What stands before the instance asks for a client certificate.",
        "Set the instance's transport.client_cert and client_key.",
    ),
    # --- a page instead of an answer
    row(
        "hibernating",
        lambda seen: not seen.location,
        "The developer instance sleeps.",
        "Sign in at developer.servicenow.com and wake it; after ten days without use it is taken away.",
    ),
    row(
        PAGES,
        lambda seen: seen.location == "developer.servicenow.com",
        "The developer instance sleeps, or was taken away.",
        "Sign in at developer.servicenow.com and wake it, or ask for a new one.",
    ),
    row(
        "redirected",
        lambda seen: seen.location.endswith(SERVICENOW_HOST),
        "The instance has another name now: {location}.",
        "Write `url: https://{location}`.",
    ),
    row(
        "redirected",
        lambda seen: bool(seen.location) and not seen.location.endswith(".servicenow.com"),
        "A proxy or a sign-on gateway asks for a log-in first, at {location}.",
        "Let this machine reach {host} without it, or set the instance's transport.proxy.",
    ),
    row(
        "redirected",
        lambda seen: not seen.location,
        "The instance sends the call to its own log-in page.",
        "See that `url` is the instance itself and not a portal, and that single sign-on leaves /api alone.",
    ),
    row(
        "html_answer",
        lambda seen: seen.shows(LOGIN),
        "A log-in page came: a proxy or a sign-on gateway stands before the instance.",
        "Let this machine reach {host} without it, or set the instance's transport.proxy.",
    ),
    row(
        "unreadable_answer",
        lambda seen: seen.shows(RESULT),
        "The instance's answer is empty or breaks off: it is overloaded, or what stands between changes answers.",
        "Try again in some minutes; then let this machine reach {host} without a proxy that rewrites.",
    ),
    row(
        "html_answer wrong_url unreadable_answer",
        lambda seen: not seen.shows(LOGIN) and not seen.shows(RESULT),
        "{host} is not an instance: it has no Table API.",
        "Write the host as a browser shows it when you work in the instance: https://NAME.service-now.com.",
    ),
)
