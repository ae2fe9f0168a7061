# What is cached, what goes to the gateway, what is added on the way back.

resource "aws_cloudfront_cache_policy" "public" {
  name        = "${var.name}-public"
  comment     = "As long as the gateway says; the key is the path, versionId, and br or gzip"
  min_ttl     = 0
  default_ttl = 0
  max_ttl     = 31536000

  parameters_in_cache_key_and_forwarded_to_origin {
    enable_accept_encoding_brotli = true
    enable_accept_encoding_gzip   = true
    cookies_config {
      cookie_behavior = "none"
    }
    headers_config {
      header_behavior = "none"
    }
    query_strings_config {
      query_string_behavior = "whitelist"
      query_strings {
        items = ["versionId"]
      }
    }
  }
}

resource "aws_cloudfront_cache_policy" "private" {
  name        = "${var.name}-private"
  comment     = "As long as the gateway says, an hour at most; CloudFront checks the signature before it looks into its cache"
  min_ttl     = 0
  default_ttl = 0
  max_ttl     = 3600

  parameters_in_cache_key_and_forwarded_to_origin {
    enable_accept_encoding_brotli = true
    enable_accept_encoding_gzip   = true
    cookies_config {
      cookie_behavior = "none"
    }
    headers_config {
      header_behavior = "none"
    }
    query_strings_config {
      query_string_behavior = "whitelist"
      query_strings {
        items = ["versionId"]
      }
    }
  }
}

resource "aws_cloudfront_origin_request_policy" "to_gateway" {
  name = "${var.name}-to-gateway"
  # Not Origin: it is no part of the cache key, so no answer may depend on it.
  comment = "What a preflight asks for; nothing else of the viewer's"

  cookies_config {
    cookie_behavior = "none"
  }
  headers_config {
    header_behavior = "whitelist"
    headers {
      items = ["Access-Control-Request-Method", "Access-Control-Request-Headers"]
    }
  }
  query_strings_config {
    query_string_behavior = "none"
  }
}

resource "aws_cloudfront_response_headers_policy" "public" {
  name    = "${var.name}-public"
  comment = "What browsers need, where the origin (the fallback bucket) does not send it"

  cors_config {
    origin_override                  = false
    access_control_allow_credentials = false
    access_control_max_age_sec       = 86400
    access_control_allow_origins {
      items = ["*"]
    }
    access_control_allow_methods {
      items = ["GET", "HEAD", "OPTIONS"]
    }
    access_control_allow_headers {
      items = ["*"]
    }
    access_control_expose_headers {
      items = ["Content-Length", "Content-Range", "ETag", "Accept-Ranges", "X-File-Size"]
    }
  }

  custom_headers_config {
    items {
      header   = "Cross-Origin-Resource-Policy"
      value    = "cross-origin"
      override = false
    }
    items {
      header   = "Timing-Allow-Origin"
      value    = "*"
      override = false
    }
  }

  security_headers_config {
    content_type_options {
      override = false
    }
  }

  # Tags name tenants and runs: for CloudFront, not for viewers.
  remove_headers_config {
    items {
      header = var.cache_tag_header
    }
  }
}

resource "aws_cloudfront_response_headers_policy" "private" {
  name    = "${var.name}-private"
  comment = "The gateway says everything itself"

  security_headers_config {
    content_type_options {
      override = false
    }
  }

  remove_headers_config {
    items {
      header = var.cache_tag_header
    }
  }
}

resource "aws_cloudfront_public_key" "signing" {
  name        = "${var.name}-signing"
  encoded_key = var.signing_public_key
}

resource "aws_cloudfront_key_group" "signing" {
  name  = "${var.name}-signing"
  items = [aws_cloudfront_public_key.signing.id]
}
