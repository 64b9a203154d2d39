"""pysaml2 as an IdP without a server: it reads usher's messages and makes an IdP's. One JSON request on each line of stdin,
one JSON answer on each line of stdout; an answer with "error" says what pysaml2 had against it."""

import base64
import json
import logging
import shutil
import sys
from functools import partial

import saml2.entity
from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT
from saml2.authn_context import PASSWORDPROTECTEDTRANSPORT
from saml2.config import IdPConfig
from saml2.metadata import entity_descriptor
from saml2.s_utils import success_status_factory
from saml2.saml import NAME_FORMAT_URI, Issuer, NameID
from saml2.samlp import STATUS_PARTIAL_LOGOUT, LogoutRequest, StatusCode
from saml2.server import Server
from saml2.sigver import pre_encryption_part
from saml2.xml.schema import validate
from saml2.xmldsig import DIGEST_SHA256, SIG_RSA_SHA256

BINDINGS = {"redirect": BINDING_HTTP_REDIRECT, "post": BINDING_HTTP_POST}

logging.disable(logging.CRITICAL)


class Peer:
    """The requests that the suite makes, by name."""

    def __init__(self):
        self.settings = None
        self.server = None

    def configure(self, entity_id, base, key_file, cert_file):
        """Sets the IdP up, without any SP; gives its metadata."""
        endpoints = {
            "single_sign_on_service": [(f"{base}/sso", binding) for binding in BINDINGS.values()],
            "single_logout_service": [(f"{base}/slo", binding) for binding in BINDINGS.values()],
        }
        self.settings = {
            "entityid": entity_id,
            "xmlsec_binary": shutil.which("xmlsec1"),
            "key_file": key_file,
            "cert_file": cert_file,
            "signing_algorithm": SIG_RSA_SHA256,
            "digest_algorithm": DIGEST_SHA256,
            "service": {
                "idp": {
                    "endpoints": endpoints,
                    "want_authn_requests_signed": True,
                    "policy": {"default": {"lifetime": {"minutes": 5}, "name_form": NAME_FORMAT_URI}},
                }
            },
        }
        return {"metadata": str(entity_descriptor(IdPConfig().load(dict(self.settings))))}

    def trust(self, metadata_files):
        """Loads SPs' metadata documents, each validated by the schema; gives what pysaml2 reads from them, by entity ID."""
        for name in metadata_files:
            with open(name, encoding="utf-8") as file:
                validate(file.read())
        self.server = Server(config=IdPConfig().load({**self.settings, "metadata": {"local": metadata_files}}))
        return {entity_id: self._about(entity_id) for entity_id in self.server.metadata.service_providers()}

    def _about(self, entity_id):
        store = self.server.metadata
        logout = [store.single_logout_service(entity_id, binding, "spsso") for binding in BINDINGS.values()]
        return {
            "acs": [one["location"] for one in store.assertion_consumer_service(entity_id, BINDING_HTTP_POST)],
            "slo": [one["location"] for endpoints in logout for one in endpoints],
            "signing": len(store.certs(entity_id, "spsso", "signing")),
            "encryption": len(store.certs(entity_id, "spsso", "encryption")),
            "authn_requests_signed": store[entity_id]["spsso_descriptor"][0].get("authn_requests_signed"),
        }

    def metadata_signature(self, metadata_file, cert_file):
        """Verifies the signature of a metadata document by this certificate."""
        with open(metadata_file, encoding="utf-8") as file:
            text = file.read()
        ok = self.server.sec.verify_signature(text, cert_file, node_name="urn:oasis:names:tc:SAML:2.0:metadata:EntityDescriptor")
        return {"verified": bool(ok)}

    def _read(self, parse, binding, message, relay_state=None, sig_alg=None, signature=None):
        raw = self.server.unravel(message, BINDINGS[binding])
        validate(raw.decode() if isinstance(raw, bytes) else raw)
        if binding == "redirect":
            return parse(message, BINDING_HTTP_REDIRECT, relay_state=relay_state, sigalg=sig_alg, signature=signature)
        return parse(message, BINDING_HTTP_POST)

    def authn_request(self, **how):
        """Reads an AuthnRequest that the schema allows and whose signature verifies."""
        message = self._read(self.server.parse_authn_request, **how).message
        policy = message.name_id_policy
        arguments = self.server.response_args(message)
        return {
            "id": message.id,
            "issuer": message.issuer.text,
            "destination": message.destination,
            "acs": arguments["destination"],
            "format": policy.format if policy is not None else None,
            "force_authn": message.force_authn,
            "is_passive": message.is_passive,
            "contexts": [
                ref.text
                for ref in (message.requested_authn_context.authn_context_class_ref if message.requested_authn_context else [])
            ],
        }

    def logout_request(self, **how):
        """Reads a LogoutRequest that the schema allows and whose signature verifies."""
        message = self._read(self.server.parse_logout_request, **how).message
        return {
            "id": message.id,
            "issuer": message.issuer.text,
            "destination": message.destination,
            "name_id": message.name_id.text,
            "format": message.name_id.format,
            "sp_name_qualifier": message.name_id.sp_name_qualifier,
            "session_indexes": [index.text for index in message.session_index],
        }

    def logout_response(self, binding, message):
        """Reads a LogoutResponse to a request that `make_logout_request` made. An enveloped signature has to verify."""
        response = self.server.parse_logout_request_response(message, BINDINGS[binding])
        return {
            "in_response_to": response.response.in_response_to,
            "destination": response.response.destination,
            "issuer": response.response.issuer.text,
            "status": response.response.status.status_code.value,
        }

    def respond(
        self,
        request_id,
        acs,
        sp,
        name_id,
        identity,
        sign_assertion=True,
        sign_response=False,
        encrypt=None,
        sign_alg=SIG_RSA_SHA256,
        digest_alg=DIGEST_SHA256,
    ):
        """Makes a response. `encrypt` is `{cert, content, key, session_key}`: algorithm URIs and xmlsec's name of the key."""
        if encrypt:
            saml2.entity.pre_encryption_part = partial(pre_encryption_part, msg_enc=encrypt["content"], key_enc=encrypt["key"])
            self.server.sec.encrypt_assertion = partial(self._encrypt, encrypt["session_key"])
        response = self.server.create_authn_response(
            identity,
            request_id,
            acs,
            sp,
            name_id=NameID(format=name_id["format"], text=name_id["value"], sp_name_qualifier=name_id.get("sp_name_qualifier")),
            authn={"class_ref": PASSWORDPROTECTEDTRANSPORT, "authn_auth": ""},
            sign_assertion=sign_assertion,
            sign_response=sign_response,
            sign_alg=sign_alg,
            digest_alg=digest_alg,
            encrypt_assertion=bool(encrypt),
            encrypt_cert_assertion=encrypt["cert"] if encrypt else None,
            encrypt_assertion_self_contained=True,
        )
        text = str(response)
        return {"response": base64.b64encode(text.encode()).decode()}

    def _encrypt(self, session_key, statement, enc_key, template, key_type=None, node_xpath=None):
        # The session key's kind is not among what pysaml2 lets a caller choose.
        return self.server.sec.crypto.encrypt_assertion(statement, enc_key, template, session_key, node_xpath)

    def make_logout_request(self, destination, name_id, session_indexes, binding, relay_state):
        """Makes a signed LogoutRequest and gives what the browser is sent: a URL or form fields."""
        request_id, request = self.server.create_logout_request(
            destination,
            self.settings["entityid"],
            name_id=NameID(
                format=name_id["format"], text=name_id["value"], sp_name_qualifier=name_id.get("sp_name_qualifier")
            ),
            session_indexes=session_indexes,
            sign=binding == "post",
            sign_alg=SIG_RSA_SHA256,
            digest_alg=DIGEST_SHA256,
        )
        return {"id": request_id, **self._send(binding, request, destination, relay_state, response=False)}

    def make_logout_response(self, sp, in_response_to, binding, relay_state, partial_logout=False):
        """Makes the signed LogoutResponse to a LogoutRequest of usher."""
        status = success_status_factory()
        if partial_logout:
            status.status_code.status_code = StatusCode(value=STATUS_PARTIAL_LOGOUT)
        request = LogoutRequest(id=in_response_to, issuer=Issuer(text=sp))
        response = self.server.create_logout_response(
            request,
            bindings=[BINDINGS[binding]],
            status=status,
            sign=binding == "post",
            sign_alg=SIG_RSA_SHA256,
            digest_alg=DIGEST_SHA256,
        )
        destination = self.server.response_args(request, [BINDINGS[binding]])["destination"]
        return self._send(binding, response, destination, relay_state, response=True)

    def _send(self, binding, message, destination, relay_state, response):
        arguments = self.server.apply_binding(
            BINDINGS[binding], str(message), destination, relay_state, response=response, sign=binding == "redirect", sigalg=SIG_RSA_SHA256
        )
        if binding == "redirect":
            return {"url": dict(arguments["headers"])["Location"]}
        name = "SAMLResponse" if response else "SAMLRequest"
        return {"fields": {name: base64.b64encode(str(message).encode()).decode(), "RelayState": relay_state}}


def main():
    peer = Peer()
    for line in sys.stdin:
        request = json.loads(line)
        name = request.pop("do")
        try:
            answer = getattr(peer, name)(**request)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"[:2000]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
