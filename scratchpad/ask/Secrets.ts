/**
 * Recognizes files that may hold secrets by their names: keys, passwords, tokens. They are not read, and so not sent to
 * a model, unless the user asks for it.
 */

/**
 * Returns whether a path belongs to a file that may hold secrets, or lies in a folder of such files. Case does not
 * matter.
 */
export const isSecret = (path: string): boolean => {
  const lower = path.toLowerCase()
  // A backup copy by an editor or a person is as secret as the file
  const name = lower.slice(lower.lastIndexOf("/") + 1).replace(
    /^#|(?:~|#|\.(?:bak|backup|copy|old|orig|save|swp))+$/g,
    ""
  )
  return (secret.test(name) && !harmless.test(name)) || place.test(lower)
}

const data = String.raw`(?:json|ya?ml|toml|ini|txt|csv|xml|cfg|conf|properties|asc)`

const secret = new RegExp(`^(?:${
  [
    String.raw`\.env(?:[._-].*)?|.*\.env|\.envrc`,
    String
      .raw`.*\.(?:pem|key|p8|p12|pfx|pkcs12|jks|keystore|bks|ppk|kdbx?|gpg|pgp|age|ovpn|mobileprovision|kubeconfig)`,
    String.raw`id_(?:rsa|dsa|ecdsa|ed25519).*|.*_(?:rsa|ecdsa|ed25519)`,
    String.raw`\.?(?:credentials?|secrets?|passwd|shadow|token)|.*\.(?:credentials?|secrets?|passwd|token)`,
    String.raw`.*(?:credential|secret|password|private|service[-_]?account).*\.${data}|gha-creds-.*\.json`,
    String.raw`(?:api|auth|access)[-_]token(?:\.${data})?`,
    String.raw`\.(?:git-credentials|npmrc|yarnrc\.yml|pypirc|netrc|pgpass|my\.cnf|htpasswd|terraformrc|vault-token)`,
    String.raw`_netrc|kubeconfig|\.vault_pass.*|\.docker(?:cfg|configjson)|.*\.tfstate(?:\..*)?|.*\.tfvars(?:\.json)?`,
    String.raw`\.(?:bash|zsh|psql|mysql|sqlite|python|node_repl)_history`
  ].join("|")
})$`)

/** Names that look like secrets but are meant to be read. */
const harmless = /\.(?:pub|example|sample|template|tpl|dist|defaults)$|^\.env\.(?:example|sample|template)/

const place = new RegExp(
  [
    String.raw`(?:^|/)\.(?:ssh|gnupg|aws|azure|gcloud|kube|password-store)(?:/|$)`,
    String.raw`(?:^|/)(?:\.git/config|\.docker/config\.json|\.(?:cargo|gem)/credentials|\.config/gh/hosts\.yml)$`
  ].join("|")
)
