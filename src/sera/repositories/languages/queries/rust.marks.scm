; A block's last expression counts as a statement, as does every arm of a match.
(block (_expression) @statement)
[
  (const_item) (enum_item) (expression_statement) (function_item) (impl_item) (let_declaration) (match_arm)
  (static_item) (struct_item) (use_declaration)
] @statement

(call_expression function: [
  (identifier) @call
  (field_expression field: (field_identifier) @call)
  (scoped_identifier name: (identifier) @call)
  (generic_function function: [
    (identifier) @call
    (field_expression field: (field_identifier) @call)
    (scoped_identifier name: (identifier) @call)
  ])
])

[(line_comment) (block_comment)] @comment
(attribute_item) @decorator
