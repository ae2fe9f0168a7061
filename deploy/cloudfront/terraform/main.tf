# CloudFront in front of Tidegate: the gateway as a custom origin that only this distribution may ask, and an S3 bucket that stands
# in for it on public paths alone. The same as ../cloudfront.yaml.
#
# What must stay true, and is checked by tests/deploy:
#   - only the public behaviour has a failover; the signed one asks the gateway and nobody else
#   - the bucket lets this distribution read the public prefix and nothing else, and gives no right to list
#   - failover is for 500, 502, 503 and 504; a 403 or 404 of the gateway is an answer, not a fault

terraform {
  required_version = ">= 1.6"
  required_providers {
    aws = {
      source = "hashicorp/aws"
      # origin_mtls_config and cache_tag_config
      version = ">= 6.62"
    }
  }
}

locals {
  by_header   = var.caller_proof == "header"
  has_aliases = length(var.aliases) > 0
}

resource "aws_cloudfront_distribution" "this" {
  comment         = "Tidegate ${var.name}"
  enabled         = true
  http_version    = "http2and3"
  is_ipv6_enabled = true
  aliases         = var.aliases

  viewer_certificate {
    cloudfront_default_certificate = local.has_aliases ? null : true
    acm_certificate_arn            = local.has_aliases ? var.viewer_certificate_arn : null
    minimum_protocol_version       = local.has_aliases ? "TLSv1.2_2021" : null
    ssl_support_method             = local.has_aliases ? "sni-only" : null
  }

  restrictions {
    geo_restriction {
      restriction_type = "none"
    }
  }

  cache_tag_config {
    header_name = var.cache_tag_header
  }

  origin {
    origin_id           = "gateway"
    domain_name         = var.gateway_domain
    connection_attempts = 2
    connection_timeout  = 3

    dynamic "custom_header" {
      for_each = local.by_header ? [1] : []
      content {
        name  = var.caller_header
        value = var.caller_secret
      }
    }

    custom_origin_config {
      http_port              = 80
      https_port             = var.gateway_port
      origin_protocol_policy = "https-only"
      origin_ssl_protocols   = ["TLSv1.2"]
      # Less than limits.idle_timeout (75 s), so that it is never the gateway that closes first.
      origin_keepalive_timeout = 60
      origin_read_timeout      = 60

      dynamic "origin_mtls_config" {
        for_each = local.by_header ? [] : [1]
        content {
          client_certificate_arn = var.client_certificate_arn
        }
      }
    }
  }

  origin {
    origin_id                = "fallback"
    domain_name              = aws_s3_bucket.fallback.bucket_regional_domain_name
    origin_access_control_id = aws_cloudfront_origin_access_control.fallback.id
  }

  origin_group {
    origin_id = "gateway-then-fallback"

    failover_criteria {
      status_codes = [500, 502, 503, 504]
    }
    member {
      origin_id = "gateway"
    }
    member {
      origin_id = "fallback"
    }
  }

  # Whatever is not named below is private.
  default_cache_behavior {
    target_origin_id           = "gateway"
    viewer_protocol_policy     = "https-only"
    allowed_methods            = ["GET", "HEAD", "OPTIONS"]
    cached_methods             = ["GET", "HEAD"]
    compress                   = true
    trusted_key_groups         = [aws_cloudfront_key_group.signing.id]
    cache_policy_id            = aws_cloudfront_cache_policy.private.id
    origin_request_policy_id   = aws_cloudfront_origin_request_policy.to_gateway.id
    response_headers_policy_id = aws_cloudfront_response_headers_policy.private.id
  }

  ordered_cache_behavior {
    path_pattern               = "/${var.public_prefix}/*"
    target_origin_id           = "gateway-then-fallback"
    viewer_protocol_policy     = "redirect-to-https"
    allowed_methods            = ["GET", "HEAD", "OPTIONS"]
    cached_methods             = ["GET", "HEAD", "OPTIONS"]
    compress                   = true
    cache_policy_id            = aws_cloudfront_cache_policy.public.id
    origin_request_policy_id   = aws_cloudfront_origin_request_policy.to_gateway.id
    response_headers_policy_id = aws_cloudfront_response_headers_policy.public.id
  }

  # The gateway's own headers say how long an error may stay; without one it is gone in a second.
  dynamic "custom_error_response" {
    for_each = [404, 500, 502, 503, 504]
    content {
      error_code            = custom_error_response.value
      error_caching_min_ttl = 1
    }
  }

  lifecycle {
    precondition {
      condition     = var.caller_proof != "header" || length(var.caller_secret) >= 16
      error_message = "caller_proof \"header\" needs a caller_secret of 16 characters or more."
    }
    precondition {
      condition     = var.caller_proof != "mtls" || var.client_certificate_arn != ""
      error_message = "caller_proof \"mtls\" needs client_certificate_arn."
    }
  }
}
