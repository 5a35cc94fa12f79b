"""A ClientApp whose messages of every kind, unknown ones too, pass the site's log and the site's gate."""

from __future__ import annotations

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from ultrafm.federation.deployment.audit import write_audit
from ultrafm.federation.deployment.gate import keep_agreement


class SiteApp(ClientApp):
    """Flower calls mods only for kinds of message that an app knows; here they are around the app itself."""

    def __call__(self, message: Message, context: Context) -> Message:
        answer = super().__call__
        return write_audit(message, context, lambda asked, about: keep_agreement(asked, about, answer))
