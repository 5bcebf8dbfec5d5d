"""Certificates and keys as Flower wants them: a small authority, a server, a key a hospital.

Written once and read ever after: a hospital's key is what the SuperLink knows it by.
"""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from federated.storage import write_bytes

LIFETIME = timedelta(days=365)
CURVE = ec.SECP384R1()
"""Flower takes NIST curves for nodes and no other keys."""


def make_node_key(path: Path) -> None:
    """Write a node's private key to ``path`` and its public key beside it, ending in ``.pub``."""
    key = ec.generate_private_key(CURVE)
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    # The private key last: where it is, both are.
    write_bytes(path.with_name(f"{path.name}.pub"), public + b"\n")
    write_bytes(path, _private(key, serialization.PrivateFormat.OpenSSH))


def make_certificates(folder: Path, hosts: tuple[str, ...] = ("localhost", "127.0.0.1")) -> None:
    """Write ``ca.crt``, and ``server.crt`` with ``server.key``, for names or addresses of a server.

    The authority's own key is forgotten: it has signed all that it ever will.
    """
    authority_key, key = (ec.generate_private_key(CURVE) for _ in range(2))
    authority = _certificate("Consilium trial authority", authority_key, authority_key, None, ())
    server = _certificate(hosts[0], key, authority_key, authority, hosts)
    pem = serialization.Encoding.PEM
    write_bytes(folder / "ca.crt", authority.public_bytes(pem))
    write_bytes(folder / "server.crt", server.public_bytes(pem))
    write_bytes(folder / "server.key", _private(key, serialization.PrivateFormat.PKCS8))


def _private(key: ec.EllipticCurvePrivateKey, form: serialization.PrivateFormat) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate | None,
    hosts: tuple[str, ...],
) -> x509.Certificate:
    """Return a certificate of ``key``: an authority's own, or a server's signed by one."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now, is_authority = datetime.now(UTC), authority is None
    usage = {"key_cert_sign": is_authority, "crl_sign": is_authority}
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    silent = dict.fromkeys((*others, "encipher_only", "decipher_only"), False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.subject if authority else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # clocks of two machines differ
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=not is_authority, **usage, **silent), critical=True
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
            critical=False,
        )
    )
    if hosts:
        names = x509.SubjectAlternativeName([_host(host) for host in hosts])
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(names, critical=False)
        builder = builder.add_extension(purpose, critical=False)
    return builder.sign(signer, hashes.SHA384())


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
