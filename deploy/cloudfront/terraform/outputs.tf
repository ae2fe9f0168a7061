output "distribution_id" {
  value = aws_cloudfront_distribution.this.id
}

output "domain_name" {
  value = aws_cloudfront_distribution.this.domain_name
}

output "fallback_bucket" {
  value       = aws_s3_bucket.fallback.id
  description = "Copy the public prefix here, keys as they are."
}

output "signing_key_id" {
  value       = aws_cloudfront_public_key.signing.id
  description = "Key-Pair-Id of signed URLs and cookies."
}
