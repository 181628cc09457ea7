# Copyright: tmc.cross_cluster contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of the fragment ``auth``: how a module reaches a cluster."""

from __future__ import annotations


class ModuleDocFragment:
    """The authentication options, named as those of kubernetes.core."""

    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - Path to a kubeconfig file. It must be readable by its owner alone (mode C(0600)).
      - Several, separated as in E(KUBECONFIG), are merged as kubectl does it.
      - Without any connection option E(KUBECONFIG) and then C(~/.kube/config) is used.
      - Can also be specified via E(K8S_AUTH_KUBECONFIG). When this or O(kubeconfig_content) is given, no E(K8S_AUTH_*) counts
        but E(K8S_AUTH_ALLOW_EXEC).
      - Mutually exclusive with O(kubeconfig_content).
    type: path
  kubeconfig_content:
    description:
      - The kubeconfig itself, as text or as a mapping.
      - Mutually exclusive with O(kubeconfig).
    type: raw
  context:
    description:
      - The name of a context of the kubeconfig; the current one by default.
      - Can also be specified via E(K8S_AUTH_CONTEXT).
    type: str
  host:
    description:
      - URL of the API server, C(https://host:port). Wins over the one of the kubeconfig.
      - Can also be specified via E(K8S_AUTH_HOST).
    type: str
  api_key:
    description:
      - Token to authenticate with. Wins over the credentials of the kubeconfig.
      - Can also be specified via E(K8S_AUTH_API_KEY).
    type: str
  username:
    description:
      - User name for basic authentication. Can also be specified via E(K8S_AUTH_USERNAME).
    type: str
  password:
    description:
      - Password for basic authentication. Can also be specified via E(K8S_AUTH_PASSWORD).
    type: str
  client_cert:
    description:
      - Path to a client certificate. Can also be specified via E(K8S_AUTH_CERT_FILE).
    type: path
    aliases: [cert_file]
  client_key:
    description:
      - Path to the key of O(client_cert). Can also be specified via E(K8S_AUTH_KEY_FILE).
    type: path
    aliases: [key_file]
  ca_cert:
    description:
      - Path to the CA certificate that the API server is verified with.
      - Can also be specified via E(K8S_AUTH_SSL_CA_CERT).
    type: path
    aliases: [ssl_ca_cert]
  validate_certs:
    description:
      - V(false) switches the verification of the API server off. A kubeconfig that does so itself is refused unless
        this is V(false).
      - Can also be specified via E(K8S_AUTH_VERIFY_SSL).
    type: bool
    aliases: [verify_ssl]
  proxy:
    description:
      - URL of an HTTP proxy. The environment's proxy settings are not used.
      - Can also be specified via E(K8S_AUTH_PROXY).
    type: str
  impersonate_user:
    description:
      - User to act as.
    type: str
  impersonate_groups:
    description:
      - Groups to act as, together with O(impersonate_user).
    type: list
    elements: str
  allow_exec:
    description:
      - Whether a kubeconfig may run a program to get credentials.
      - Can also be specified via E(K8S_AUTH_ALLOW_EXEC).
    type: bool
    default: false
  allow_insecure_mode:
    description:
      - Whether a kubeconfig that others on the machine can read is accepted.
    type: bool
    default: false
  request_timeout:
    description:
      - Seconds after which one request is given up.
    type: float
    default: 30.0
requirements:
  - python >= 3.11
  - urllib3
  - PyYAML
  - kubernetes (only with O(allow_exec=true))
"""
