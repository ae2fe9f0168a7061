variable "name" {
  type        = string
  default     = "tidegate"
  description = "Begins the names of everything that is made."
}

variable "gateway_domain" {
  type        = string
  description = "Name of the gateway's edge door, with a certificate that the public trusts."
}

variable "gateway_port" {
  type        = number
  default     = 443
  description = "Port of edge.tls_listen, or of edge.mtls_listen with caller_proof \"mtls\"."
}

variable "caller_proof" {
  type        = string
  default     = "header"
  description = "How the gateway knows this distribution: \"header\" or \"mtls\". See \"callers\" of a [[site]]."

  validation {
    condition     = contains(["header", "mtls"], var.caller_proof)
    error_message = "Expected \"header\" or \"mtls\"."
  }
}

variable "caller_header" {
  type        = string
  default     = "x-origin-verify"
  description = "\"header\" of the site's callers. Used with caller_proof \"header\"."

  validation {
    condition     = can(regex("^[Xx]-[A-Za-z0-9-]+$", var.caller_header))
    error_message = "Expected a name that begins with \"x-\"."
  }
}

variable "caller_secret" {
  type        = string
  default     = ""
  sensitive   = true
  description = "Value of that header, one of the two that the site knows. It is kept in the state: keep that encrypted."
}

variable "client_certificate_arn" {
  type        = string
  default     = ""
  description = "Client certificate in ACM (us-east-1) that tls.client_ca vouches for. Needed with caller_proof \"mtls\"."
}

variable "public_prefix" {
  type        = string
  default     = "public"
  description = "Keys below it are public, and are the only ones that the fallback bucket may serve. No slash at either end."

  # A star or an empty prefix would open the whole bucket.
  validation {
    condition     = can(regex("^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$", var.public_prefix))
    error_message = "Expected segments of letters, digits, - and _."
  }
}

variable "cache_tag_header" {
  type        = string
  default     = "Cache-Tag"
  description = "\"cache_tag\" of the site."
}

variable "signing_public_key" {
  type        = string
  description = "PEM public key (RSA 2048 or ECDSA P-256) of the key that signs URLs and cookies of private objects."
}

variable "aliases" {
  type        = list(string)
  default     = []
  description = "Names of the distribution."
}

variable "viewer_certificate_arn" {
  type        = string
  default     = null
  description = "Certificate for the aliases in ACM (us-east-1). Needed where there are aliases."
}
