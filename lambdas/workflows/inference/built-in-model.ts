/** A logistic regression on 16 numeric columns as ONNX, in base64; rebuilt by test/support/make-model.py. */
export const BUILT_IN_MODEL = [
  'CAgSCHNrbDJvbm54GgYxLjIwLjAiB2FpLm9ubngoADIAOsgDCuYCCgFYEgVsYWJlbBINcHJvYmFiaWxpdGllcxoQTGluZWFyQ2xh',
  'c3NpZmllciIQTGluZWFyQ2xhc3NpZmllcioZChBjbGFzc2xhYmVsc19pbnRzQABAAaABByqxAQoMY29lZmZpY2llbnRzPez7F749',
  'dJVFvz11KPm+Pd+GXL89ZrYRvz0WHEI/PUH4lT49uBoBPz2Sw1C+PQ0cAT49TSmcvT0iUBRAPfrWgT89+KcEvz2fMKe+PWFLIz89',
  '7PsXPj10lUU/PXUo+T4934ZcPz1mthE/PRYcQr89QfiVvj24GgG/PZLDUD49DRwBvj1NKZw9PSJQFMA9+taBvz34pwQ/PZ8wpz49',
  'YUsjv6ABBioZCgppbnRlcmNlcHRzPVa9Krw9Vr0qPKABBioSCgttdWx0aV9jbGFzcxgAoAECKh0KDnBvc3RfdHJhbnNmb3JtIghM',
  'T0dJU1RJQ6ABAzoKYWkub25ueC5tbBIYT05OWChMb2dpc3RpY1JlZ3Jlc3Npb24pWhEKAVgSDAoKCAESBgoACgIIEGIRCgVsYWJl',
  'bBIICgYIBxICCgBiHQoNcHJvYmFiaWxpdGllcxIMCgoIARIGCgAKAggCQg4KCmFpLm9ubngubWwQAUIECgAQEUIECgAQEQ==',
].join('');
