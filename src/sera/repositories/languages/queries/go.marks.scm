[
  (assignment_statement) (break_statement) (const_declaration) (continue_statement) (dec_statement)
  (defer_statement) (expression_statement) (expression_switch_statement) (fallthrough_statement)
  (for_statement) (go_statement) (goto_statement) (if_statement) (inc_statement) (labeled_statement)
  (return_statement) (select_statement) (send_statement) (short_var_declaration) (type_declaration)
  (type_switch_statement) (var_declaration)
] @statement

(call_expression function: [(identifier) @call (selector_expression field: (field_identifier) @call)])

(comment) @comment
