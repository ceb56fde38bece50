#!/usr/bin/env python3
"""Azure's azure-mgmt-apimanagement against the resource path of a gateway, over TLS with an authority of its own.

Usage: tests/admin/azure_sdk.py path/to/margay

Products, subscriptions with their keys, users and groups, named values, APIs with operations, policy documents, quotas,
entity tags, pages, filters and errors. A step is a function of the client, listed in STEPS.
"""

import contextlib
import hashlib
import http.client
import io
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from run import TOKEN, enter_venv, free_port, start_backend

enter_venv()

from azure.core.credentials import AccessToken  # noqa: E402
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError  # noqa: E402
from azure.mgmt.apimanagement import ApiManagementClient  # noqa: E402
from azure.mgmt.apimanagement import models as m  # noqa: E402

AT = ("group", "margay")
XML = """<policies>
  <inbound>
    <base />
    <set-header name="X-Tenant" exists-action="override"><value>@(context.Subscription.Id + "{{tail}}")</value></set-header>
    <quota-by-key calls="5" renewal-period="3600" counter-key="@(context.Subscription.Id)" />
  </inbound>
</policies>"""


class FixedToken:
    """A credential whose token is one of `Administration.Tokens`."""

    def get_token(self, *_scopes, **_options):
        return AccessToken(TOKEN, int(time.time()) + 3600)


class Gateway:
    """A gateway whose administration has TLS."""

    def __init__(self, binary, folder):
        self.folder, self.backend = Path(folder), start_backend()
        self.listen, self.admin = free_port(), free_port()
        self.make_certificates()
        digest = hashlib.sha256(TOKEN.encode()).hexdigest()
        document = {
            "Administration": {
                "Tokens": [{"Name": "publisher", "Hash": f"sha256:{digest}", "Role": "publish"}],
                "Tls": {"Certificates": [{"CertificateFile": "server.pem", "KeyFile": "server.key"}]},
            },
            "Products": {"filed": {"DisplayName": "Of the files"}},
            "Apis": {},
        }
        (self.folder / "gateway.json").write_text(json.dumps(document))
        command = [binary, "run", "--config", self.folder / "gateway.json", "--listen", f"127.0.0.1:{self.listen}"]
        self.process = subprocess.Popen([*command, "--admin", f"127.0.0.1:{self.admin}", "--threads", "1"])

    def make_certificates(self):
        """An authority, and a certificate for 127.0.0.1."""
        openssl = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        files = ["-keyout", self.folder / "ca.key", "-out", self.folder / "ca.pem"]
        subprocess.run([*openssl, *files, "-subj", "/CN=test authority"], check=True, capture_output=True)
        files = ["-keyout", self.folder / "server.key", "-out", self.folder / "server.pem"]
        signed = ["-CA", self.folder / "ca.pem", "-CAkey", self.folder / "ca.key"]
        names = ["-subj", "/CN=gateway", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"]
        subprocess.run([*openssl, *files, *signed, *names], check=True, capture_output=True)

    def client(self):
        return ApiManagementClient(
            FixedToken(), "00000000-0000-0000-0000-000000000000",
            base_url=f"https://127.0.0.1:{self.admin}", credential_scopes=["https://gateway/.default"],
            connection_verify=str(self.folder / "ca.pem"), polling_interval=0.1, retry_total=0,
        )

    def wait(self, client):
        for _ in range(200):
            with contextlib.suppress(Exception):
                return list(client.product.list_by_service(*AT))
            assert self.process.poll() is None, f"the gateway ended with {self.process.returncode}"
            time.sleep(0.05)
        sys.exit("the gateway is not ready")

    def call(self, path, key=None):
        """The status of a call of an API."""
        connection = http.client.HTTPConnection("127.0.0.1", self.listen, timeout=10)
        connection.request("GET", path, headers={"Ocp-Apim-Subscription-Key": key} if key else {})
        status = connection.getresponse().status
        connection.close()
        return status


def raw(**properties):
    """A body that the models of the client do not have."""
    return io.BytesIO(json.dumps({"properties": properties}).encode())


def refused(status, call, *arguments, **options):
    """The error of a call that fails with a status."""
    try:
        result = call(*arguments, **options)
        list(result) if hasattr(result, "__next__") else None
    except HttpResponseError as error:
        assert error.status_code == status, (error.status_code, error.message)
        return error
    raise AssertionError(f"{call.__name__}: expected {status}")


def products(client, gateway):
    made = client.product.create_or_update(*AT, "gold", m.ProductContract(
        display_name="Gold", description="much", terms="be kind", subscription_required=True, approval_required=False,
        subscriptions_limit=2, state="published"))
    assert (made.name, made.display_name, made.state, made.subscriptions_limit) == ("gold", "Gold", "published", 2), made
    assert made.type.lower() == "microsoft.apimanagement/service/products"
    assert client.product.get_entity_tag(*AT, "gold")
    refused(404, client.product.get_entity_tag, *AT, "none")
    changed = client.product.update(*AT, "gold", "*", m.ProductUpdateParameters(description="more"))
    assert (changed.display_name, changed.description) == ("Gold", "more")
    client.product.create_or_update(*AT, "tmp", m.ProductContract(display_name="Tmp"))
    client.product.delete(*AT, "tmp", "*")
    client.product.delete(*AT, "tmp", "*")
    refused(404, client.product.get, *AT, "tmp")


def tags_and_errors(client, _gateway):
    tags = []
    client.product.get(*AT, "gold", cls=lambda response, value, headers: tags.append(headers["ETag"]))
    error = refused(412, client.product.update, *AT, "gold", '"other"', m.ProductUpdateParameters(description="x"))
    assert error.error.code == "PreconditionFailed", error.error
    client.product.update(*AT, "gold", tags[0], m.ProductUpdateParameters(description="by its tag"))
    refused(412, client.product.update, *AT, "gold", tags[0], m.ProductUpdateParameters(description="x"))
    error = refused(404, client.product.get, *AT, "none")
    assert isinstance(error, ResourceNotFoundError) and error.error.code == "ResourceNotFound"
    error = refused(409, client.product.update, *AT, "filed", "*", m.ProductUpdateParameters(description="x"))
    assert isinstance(error, ResourceExistsError) and "gateway.json" in error.message, error.message
    error = refused(400, client.product.create_or_update, *AT, "odd", raw(displayName="Odd", colour="red"))
    details = error.error.details
    assert (error.error.code, details[0].target) == ("ValidationError", "colour"), (error.error, details)
    error = refused(400, client.product.create_or_update, *AT, "odd", raw(displayName="Odd", state="sold"))
    assert error.error.details, error.error
    refused(404, client.product.get, *AT, "odd")


def apis(client, gateway):
    poller = client.api.begin_create_or_update(*AT, "orders", m.ApiCreateOrUpdateParameter(
        display_name="Orders", path="orders", service_url=f"http://127.0.0.1:{gateway.backend}", subscription_required=True,
        subscription_key_parameter_names=m.SubscriptionKeyParameterNamesContract(header="X-Key", query="key")))
    made = poller.result()
    assert (made.path, made.is_current, made.api_revision) == ("orders", True, "1"), made
    assert made.subscription_key_parameter_names.header == "X-Key", made
    client.api.update(*AT, "orders", "*", raw(subscriptionKeyParameterNames=None))
    operation = client.api_operation.create_or_update(*AT, "orders", "read", m.OperationContract(
        display_name="Read", method="GET", url_template="/{id}", template_parameters=[
            m.ParameterContract(name="id", type="string", required=True)]))
    assert (operation.method, operation.url_template) == ("GET", "/{id}"), operation
    renamed = client.api_operation.update(*AT, "orders", "read", "*", m.OperationUpdateContract(display_name="Read one"))
    assert (renamed.display_name, renamed.url_template) == ("Read one", "/{id}"), renamed
    assert [one.name for one in client.api_operation.list_by_api(*AT, "orders")] == ["read"]
    client.product_api.create_or_update(*AT, "gold", "orders")
    assert [one.name for one in client.product_api.list_by_product(*AT, "gold")] == ["orders"]
    assert client.product_api.check_entity_exists(*AT, "gold", "orders")
    assert gateway.call("/orders/1") == 401


def users(client, _gateway):
    made = client.user.create_or_update(*AT, "u1", m.UserCreateParameters(
        email="u1@example.com", first_name="U", last_name="One"))
    assert (made.email, made.first_name, made.state) == ("u1@example.com", "U", "active"), made
    client.group.create_or_update(*AT, "partners", m.GroupCreateParameters(display_name="Partners"))
    client.group_user.create(*AT, "partners", "u1")
    assert [one.name for one in client.group_user.list(*AT, "partners")] == ["u1"]
    client.group_user.delete(*AT, "partners", "u1")
    client.user.create_or_update(*AT, "u2", m.UserCreateParameters(email="u2@example.com", first_name="U", last_name="Two"))
    assert [one.name for one in client.user.list_by_service(*AT, filter="lastName eq 'Two'")] == ["u2"]
    client.user.begin_delete(*AT, "u2", "*").result()
    refused(404, client.user.get, *AT, "u2")


def subscriptions(client, gateway):
    made = client.subscription.create_or_update(*AT, "s1", m.SubscriptionCreateParameters(
        scope="/products/gold", display_name="One", owner_id="/users/u1"))
    assert (made.state, made.scope, made.owner_id) == ("active", "/products/gold", "/users/u1"), made
    assert made.primary_key is None and made.secondary_key is None
    keys = client.subscription.list_secrets(*AT, "s1")
    assert gateway.call("/orders/1", keys.primary_key) == gateway.call("/orders/1", keys.secondary_key) == 200
    client.subscription.regenerate_primary_key(*AT, "s1")
    new = client.subscription.list_secrets(*AT, "s1")
    assert new.primary_key != keys.primary_key and new.secondary_key == keys.secondary_key
    assert (gateway.call("/orders/1", keys.primary_key), gateway.call("/orders/1", new.primary_key)) == (401, 200)
    client.subscription.update(*AT, "s1", "*", m.SubscriptionUpdateParameters(state="suspended"))
    assert gateway.call("/orders/1", new.primary_key) == 401
    client.subscription.update(*AT, "s1", "*", m.SubscriptionUpdateParameters(state="active"))
    error = refused(409, client.subscription.update, *AT, "s1", "*", m.SubscriptionUpdateParameters(state="rejected"))
    assert "Active" in error.message, error.message
    client.subscription.create_or_update(*AT, "s2", m.SubscriptionCreateParameters(
        scope="/products/gold", display_name="Two", owner_id="/users/u1"))
    error = refused(409, client.subscription.create_or_update, *AT, "s3", m.SubscriptionCreateParameters(
        scope="/products/gold", display_name="Three", owner_id="/users/u1"))
    refused(409, client.product.delete, *AT, "gold", "*")
    client.product.update(*AT, "gold", "*", m.ProductUpdateParameters(approval_required=True))
    client.subscription.delete(*AT, "s2", "*")
    waiting = client.subscription.create_or_update(*AT, "s2", m.SubscriptionCreateParameters(
        scope="/products/gold", display_name="Two", owner_id="/users/u1"))
    assert waiting.state == "submitted", waiting
    assert [one.name for one in client.product_subscriptions.list(*AT, "gold")] == ["s1", "s2"]


def named_values(client, _gateway):
    made = client.named_value.begin_create_or_update(*AT, "tail", m.NamedValueCreateContract(
        display_name="tail", value="-canary-4711", secret=True, tags=["a"])).result()
    assert made.secret and made.value is None and made.tags == ["a"], made
    assert client.named_value.list_value(*AT, "tail").value == "-canary-4711"
    changed = client.named_value.begin_update(*AT, "tail", "*", m.NamedValueUpdateParameters(value="-canary-4712")).result()
    assert changed.value is None and client.named_value.list_value(*AT, "tail").value == "-canary-4712"
    error = refused(400, client.named_value.begin_create_or_update, *AT, "tail", m.NamedValueCreateContract(
        display_name="another", value="x"))
    assert error.error.details[0].target == "displayName", error.error


def policies(client, _gateway):
    made = client.api_policy.create_or_update(*AT, "orders", "policy", m.PolicyContract(value=XML, format="rawxml"))
    assert made.format == "rawxml" and made.value == XML, made
    assert client.api_policy.get(*AT, "orders", "policy", format="rawxml").value == XML
    assert client.api_policy.get_entity_tag(*AT, "orders", "policy")
    wrong = XML.replace("set-header", "set-haeder")
    error = refused(400, client.api_policy.create_or_update, *AT, "orders", "policy", m.PolicyContract(value=wrong, format="xml"))
    detail = error.error.details[0]
    assert error.error.code == "ValidationError" and "set-header" in detail.message and ":4" in detail.target, detail
    client.policy.create_or_update(*AT, "policy", m.PolicyContract(value="<policies><inbound /></policies>", format="xml"))
    assert len(list(client.policy.list_by_service(*AT))) == 1
    client.policy.delete(*AT, "policy", "*")
    refused(404, client.policy.get, *AT, "policy")
    fragment = m.PolicyFragmentContract(value="<fragment><set-method>GET</set-method></fragment>", format="rawxml")
    made = client.policy_fragment.begin_create_or_update(*AT, "get", fragment).result()
    assert made.name == "get", made
    assert [one.name for one in client.policy_fragment.list_by_service(*AT)] == ["get"]
    client.policy_fragment.delete(*AT, "get", "*")
    assert not list(client.policy_fragment.list_by_service(*AT))


def quotas(client, gateway):
    keys = client.subscription.list_secrets(*AT, "s1")
    assert [gateway.call("/orders/1", keys.primary_key) for _ in range(6)] == [200] * 5 + [403]
    counters = client.quota_by_counter_keys.list_by_service(*AT, "s1")
    [counter] = counters.value
    assert (counters.count, counter.counter_key, counter.value.calls_count) == (1, "s1", 5), counter
    period = client.quota_by_period_keys.get(*AT, "s1", counter.period_key)
    assert period.value.calls_count == 5 and period.period_end_time > period.period_start_time, period
    refused(404, client.quota_by_period_keys.get, *AT, "s1", "0")
    client.quota_by_counter_keys.update(*AT, "s1", m.QuotaCounterValueUpdateContract(calls_count=0, kb_transferred=0))
    assert gateway.call("/orders/1", keys.primary_key) == 200
    client.quota_by_period_keys.update(
        *AT, "s1", counter.period_key, m.QuotaCounterValueUpdateContract(calls_count=5, kb_transferred=0))
    assert gateway.call("/orders/1", keys.primary_key) == 403
    refused(404, client.quota_by_counter_keys.list_by_service, *AT, "nobody")


def pages(client, _gateway):
    for at in range(7):
        client.product.create_or_update(*AT, f"p{at}", m.ProductContract(display_name=f"Page {at}", subscriptions_limit=at + 5))
    names = [one.name for one in client.product.list_by_service(*AT, filter="startswith(displayName, 'Page')", top=2)]
    assert names == [f"p{at}" for at in range(7)], names
    names = [one.name for one in client.product.list_by_service(*AT, filter="properties/subscriptionsLimit ge 9", skip=1)]
    assert names == ["p5", "p6"], names
    refused(400, client.product.list_by_service, *AT, filter="colour eq 'red'")
    refused(400, client.product.list_by_service, *AT, filter="displayName is 'red'")
    refused(400, client.product.list_by_service, *AT, top=5000)


STEPS = [products, tags_and_errors, apis, users, subscriptions, named_values, policies, quotas, pages]


def main():
    with tempfile.TemporaryDirectory() as folder:
        gateway = Gateway(sys.argv[1], folder)
        try:
            client = gateway.client()
            gateway.wait(client)
            for step in STEPS:
                step(client, gateway)
                print(f"{step.__name__}: ok", flush=True)
        finally:
            gateway.process.terminate()
            assert gateway.process.wait(20) == 0, gateway.process.returncode


if __name__ == "__main__":
    main()
